# gnuplot spectra.gp makes spectra.svg; with -e "format='png'", spectra.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'spectra.'.format
set datafile separator ','
heading = "Eigenvalues of P at the end"."\n"."Figure 5 with P on the momentum, ours: the matrices that FOP learns; CIFAR-10 (JPEG q75), cpu scale"."\n"."(20000 training images, 25 epochs of batches of 64 with momentum's learning rate in proportion, no"."\n"."dropout, seed 0)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 6
set xlabel 'index'
set ylabel 'eigenvalue'
set key outside right
of(l) = strcol(1) eq l ? column(3) : NaN
plot 'spectra.csv' using 2:(of('conv1')) every ::1 with linespoints pt 7 ps 0.5 title 'conv1', 'spectra.csv' using 2:(of('conv2')) every ::1 with linespoints pt 7 ps 0.5 title 'conv2', 'spectra.csv' using 2:(of('conv3')) every ::1 with linespoints pt 7 ps 0.5 title 'conv3', 'spectra.csv' using 2:(of('conv4')) every ::1 with linespoints pt 7 ps 0.5 title 'conv4', 'spectra.csv' using 2:(of('conv5')) every ::1 with linespoints pt 7 ps 0.5 title 'conv5', 'spectra.csv' using 2:(of('conv6')) every ::1 with linespoints pt 7 ps 0.5 title 'conv6', 'spectra.csv' using 2:(of('conv7')) every ::1 with linespoints pt 7 ps 0.5 title 'conv7'
